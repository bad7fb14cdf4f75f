"""What the ledger needs: a book it writes in, the event log it follows, and a signer it cannot fool."""
