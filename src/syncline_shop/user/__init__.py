"""The user service: signs people up and in, and shows a user together with the user's orders."""
