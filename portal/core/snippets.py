"""A request as somebody would make it again from a terminal or a program. Pure: nothing of the person is in it."""

from __future__ import annotations


def as_curl(portal: str, request: str) -> str:
    """What the HTTP API says of it; the token is the reader's own."""
    return f'curl --header "Authorization: Bearer $ACCORD_TOKEN" \\\n  {portal}/v1/requests/{request}'


def as_python(data_set: str, purpose: str, authorisation: str) -> str:
    """The same question under the same agreement, by the SDK: a request of its own."""
    return "\n".join(
        (
            "import asyncio",
            "",
            "from exchange.local import open_bus",
            "",
            "",
            "async def main() -> None:",
            "    async with open_bus() as bus:",
            "        request = await bus.request(",
            f'            "{data_set}",',
            f'            consent=bytes.fromhex("{authorisation}"),',
            f'            purpose="{purpose}",',
            "        )",
            "        print((await request.answer()).data)",
            "",
            "",
            "asyncio.run(main())",
        )
    )
