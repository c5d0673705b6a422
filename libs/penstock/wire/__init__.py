"""What crosses the network: names, stream settings, encodings."""
