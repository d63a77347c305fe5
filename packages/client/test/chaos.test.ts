/** A quarter of an hour of chaos; the soak has hours of it. */
import { it } from 'node:test'
import { chaos } from './chaos.js'

it('a quarter of an hour of chaos: what was queued arrives once, or its sender is told why not', (t) =>
  chaos(t, 'a quarter of an hour', 0.25))
