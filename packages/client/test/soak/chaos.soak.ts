/** Long runs of `chaos.ts`. */
import { describe, it } from 'node:test'
import { chaos } from '../chaos.js'

describe('hours of chaos', () => {
  for (const seed of ['first', 'second', 'third', 'fourth', 'fifth'])
    it(`with the seed ${seed}`, (t) => chaos(t, seed, 3))
})
