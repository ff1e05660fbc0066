"""Who is calling: passwords, signed tokens, and the key that signs them."""

from syncline.kit.auth.foreign import ForeignTokens
from syncline.kit.auth.keys import SigningKey
from syncline.kit.auth.passwords import Passwords
from syncline.kit.auth.tokens import Claims, Tokens

__all__ = ["Claims", "ForeignTokens", "Passwords", "SigningKey", "Tokens"]
