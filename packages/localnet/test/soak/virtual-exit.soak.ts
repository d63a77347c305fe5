/** A day of mixed traffic through an exit in virtual time, with faults beneath. */
import { it } from 'node:test'
import { soakVirtualExit } from '../virtual-exit-soak.js'
import { QUICK } from './quick.js'

const HOURS = QUICK ? 3 : 24

it(`${HOURS} hours of mixed traffic through an exit: every request ends, and nothing is left`, (t) =>
  soakVirtualExit({ seed: 'a day', hours: HOURS, everyMs: 75_000 }, (line) => t.diagnostic(line)))
