"""GA4GH WES 1.1: the same jobs under the names and rules of the Workflow Execution Service."""
