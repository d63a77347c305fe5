/** Hours of chaos; see `../chaos.ts`. */
import { describe, it } from 'node:test'
import { chaos } from '../chaos.js'

const isQuick = process.env.MIXWRIGHT_SOAK_QUICK === '1'
const [SEEDS, HOURS] = isQuick ? [['quick'], 0.2] : [['first', 'second', 'third', 'fourth', 'fifth'], 3]

describe(`chaos for ${HOURS} hours`, () => {
  for (const seed of SEEDS) it(`from the seed ${seed}`, (t) => chaos(t, seed, HOURS))
})
