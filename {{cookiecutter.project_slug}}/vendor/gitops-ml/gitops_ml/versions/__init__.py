"""What Git, DVC and the locks know: commits and branches, what stages read and wrote, which packages.

Comes in: a clone. Goes out: the content of any revision, trees and commits to push, and in a sentence what does not
fit together. Used by nearly every other room.
"""
