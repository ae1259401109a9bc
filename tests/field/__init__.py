"""Cases that users of this and other projects met, as tables of generators and outcomes, one file per area."""
