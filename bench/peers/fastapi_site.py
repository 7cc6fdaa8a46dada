"""A FastAPI site that answers "ok", to holders of a good token if KEY is set."""

import os

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

bearer = HTTPBearer()


async def claims(credentials: HTTPAuthorizationCredentials = Depends(bearer)) -> dict:
    try:
        return jwt.decode(
            credentials.credentials,
            key,
            algorithms=[os.environ["ALGORITHM"]],
            issuer=os.environ["ISSUER"],
            audience=os.environ["AUDIENCE"],
            options={"require": ["exp", "iss", "aud"]},
        )
    except jwt.InvalidTokenError:
        raise HTTPException(status_code=401, headers={"WWW-Authenticate": "Bearer"})


if "KEY" in os.environ:
    key = load_pem_public_key(os.environ["KEY"].encode())
    app = FastAPI(dependencies=[Depends(claims)])
else:
    app = FastAPI()


@app.get("/products", response_class=PlainTextResponse)
async def products() -> str:
    return "ok"
