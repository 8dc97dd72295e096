"""Single files that a workflow refers to by address: wrappers, modules, includes, and the files beside them."""
