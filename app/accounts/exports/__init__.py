"""People take all that is stored about them away, in a file that a worker builds."""
