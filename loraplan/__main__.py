"""`python -m loraplan`."""

from loraplan.cli import main

if __name__ == "__main__":
    main()
