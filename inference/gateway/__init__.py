"""One address in front of many servers, and of none: the queue and the demand outlive them."""
