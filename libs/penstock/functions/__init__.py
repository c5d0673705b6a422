"""The SDK: what authors of functions import. Nothing in here talks to NATS or HTTP."""
