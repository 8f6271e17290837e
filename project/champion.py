"""Entry point `champion`: show which versions were champion, from when to when and why; promote one, or roll back."""

import click

from project import cli
from project.errors import InputError
from project.tracking import champion, registry

ACTIONS = ("history", "promote", "rollback")


@click.command()
@click.option("--action", required=True, type=click.Choice(ACTIONS))
@click.option("--model-version", default="", help="To promote: number, latest, or alias.")
@click.option("--why", default="", help="Goes into the history.")
def main(action: str, model_version: str, why: str) -> None:
    why = why or "by hand"
    if action == "promote":
        version = registry.find_version(model_version)
        registry.check_version(version)
        if not champion.promote(version, why, instead_of=champion.current()):
            raise InputError("another version was promoted at this moment: look at the history, and try again")
    elif action == "rollback":
        champion.rollback(why)
    history = champion.history()
    print(history.to_string(index=False) if len(history) else "there has been no champion yet")


if __name__ == "__main__":
    cli.run("champion", main)
