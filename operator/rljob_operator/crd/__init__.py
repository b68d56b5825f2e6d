"""The CustomResourceDefinition of RLJob, generated from `rljob.api`."""
