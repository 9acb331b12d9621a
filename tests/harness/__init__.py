"""What every suite stands on: a broker process, and clients for it."""
