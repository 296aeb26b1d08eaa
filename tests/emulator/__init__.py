"""The local NanoGPT, asked over real HTTP by a plain client."""
