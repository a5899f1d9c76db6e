"""Who runs when: a bounded queue, slots and pages, and the step that drives the device. No text and no JAX here."""
