/** What probing has counted (03-directory §18), for whoever doubts a score. */
import type { Clock } from '@mixwright/runtime'
import { formatRfc3339 } from '@mixwright/wire'
import { Hono } from 'hono'
import type { ProbeScores } from '../probing/probe-scores.js'

export function probeRoutes(scores: ProbeScores, clock: Clock): Hono {
  const api = new Hono()
  api.get('/v1/mixwright/probes', (context) => {
    const nodes = [...scores.counts].map(([identity, { sent, home, score }]) => ({ identity, sent, home, score }))
    return context.json({ at: formatRfc3339(Math.floor(clock.now())), nodes })
  })
  return api
}
