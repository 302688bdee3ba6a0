"""A plugin for detect-secrets that finds Keyhouse tokens: detect-secrets scan --plugin scanners/detect_secrets_keyhouse.py

For another brand (token.brand) replace pk_ below.
"""
import re
import zlib

from detect_secrets.plugins.base import RegexBasedDetector

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class KeyhouseDetector(RegexBasedDetector):
    secret_type = "Keyhouse API key"
    denylist = [re.compile(r"\bpk_(?:live|test)_[0-9A-Za-z]{42}\b")]

    def analyze_string(self, string):
        return (token for token in super().analyze_string(string) if has_checksum(token))


def has_checksum(token):
    """Whether the last six characters are CRC-32 of the others in base 62."""
    rest, digits = zlib.crc32(token[:-6].encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        digits = ALPHABET[digit] + digits
    return token[-6:] == digits
