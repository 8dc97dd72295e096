"""The `penstock` command."""


def main() -> None:
    """Run the command line."""
    raise SystemExit("penstock: no commands yet")


if __name__ == "__main__":
    main()
