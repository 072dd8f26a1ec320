"""The sandbox: finds what this machine can confine with, proves it by trying to escape, and confines programs by it."""
