"""The write side on real servers, in process: parcels in, commits and outcomes out."""
