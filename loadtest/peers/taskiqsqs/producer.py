"""The service: sends tasks side by side on one event loop."""

import uvloop
from orders import Comment, serve
from taskiqsqs.tasks import broker, create


async def main() -> None:
    await broker.startup()

    async def submit(comment: Comment) -> None:
        await create.kiq(comment)

    await serve(submit)


if __name__ == "__main__":
    uvloop.run(main())
