"""What the commands do, a module each: open the run, let the rooms work one after another, store, print.

The only place besides `cli` that knows several rooms. `cli` imports these modules inside its commands, since they
import everything heavy.
"""
