"""The Kubernetes API as the webhook and the agent use it: JSON objects, lists and watches."""
