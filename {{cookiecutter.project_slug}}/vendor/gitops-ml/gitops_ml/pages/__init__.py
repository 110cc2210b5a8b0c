"""What every page is made of: words, pictures, components and their look.

Rooms give their own facts and templates; a page is one file that asks nobody for anything.
"""
