"""How long encrypted runs on another machine take, beside doing the same by hand with tar, age, ssh and docker."""
