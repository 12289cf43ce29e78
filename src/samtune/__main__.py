"""`python -m samtune`, the same as the `samtune` command; `accelerate launch -m samtune` starts here."""

from samtune.cli import main

if __name__ == "__main__":
    main()
