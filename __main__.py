"""The `pocketgraph` command: gathers the commands of the rooms."""

def main() -> None:
    print("hi")

if __name__ == "__main__":
    main()
