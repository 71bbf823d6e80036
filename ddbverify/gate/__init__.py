"""
Whether anybody may switch: what has to hold, what does not, and the reasons.

Begin with `gate`.
"""
