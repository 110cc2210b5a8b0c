"""What the template is measured by; each is started by a target of make, and prints or writes its figures."""
