/** Two hours of mixed traffic through an exit in virtual time, with faults beneath. The soak of that name plays a day. */
import { it } from 'node:test'
import { soakVirtualExit } from './virtual-exit-soak.js'

it('two hours of mixed traffic through an exit: every request ends, and nothing is left', (t) =>
  soakVirtualExit({ seed: 'two hours', hours: 2, everyMs: 75_000 }, (line) => t.diagnostic(line)))
