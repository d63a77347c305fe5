/**
 * The routes of an authority (03-directory §18): the network document for whoever verifies it, and the exchange of votes and
 * signatures between authorities. Everything posted is a stranger's until its signature says otherwise: bodies are bounded in
 * size, in time and in number.
 */
import type { Clock, Metrics } from '@mixwright/runtime'
import { CONSENSUS_PATH, MAX_DOCUMENT_BYTES, type VerifiedDocument } from '@mixwright/wire'
import { type Context, Hono } from 'hono'
import { readBody } from '../routes/request-body.js'
import { type Authority, consensusText } from './authority.js'
import { SIGNATURE_PATH, VOTE_PATH } from './authority-peers.js'

/** Bodies that are read at the same time; a further one is told to come again. */
const MOST_BODIES = 8
const MAX_SIGNATURE_BYTES = 1024

export interface AuthorityRouteOptions {
  readonly authority: Authority
  readonly clock: Clock
  readonly metrics: Metrics
}

export function authorityRoutes({ authority, clock, metrics }: AuthorityRouteOptions): Hono {
  const api = new Hono()
  const texts = new WeakMap<VerifiedDocument, string>()
  const document = (context: Context, verified: VerifiedDocument | undefined) => {
    if (verified === undefined) return context.text('there is no such network document', 404)
    let text = texts.get(verified)
    if (text === undefined) {
      text = consensusText(verified)
      texts.set(verified, text)
    }
    return json(context, text)
  }
  api.get(CONSENSUS_PATH, (context) => document(context, authority.current))
  api.get(`${CONSENSUS_PATH}/latest`, (context) => document(context, authority.latest))
  api.get(`${CONSENSUS_PATH}/:epoch{[0-9]{1,10}}`, (context) =>
    document(context, authority.documentOf(Number(context.req.param('epoch')))),
  )
  api.get('/v1/mixwright/equivocations', (context) => json(context, JSON.stringify(authority.proofs)))

  api.get(`${VOTE_PATH}/:epoch{[0-9]{1,10}}/:round{[0-9]}/:author`, (context) => {
    const { epoch, round, author } = context.req.param()
    const vote = authority.voteOf(Number(epoch), Number(round), author)
    return vote === undefined ? context.text('there is no such vote', 404) : json(context, JSON.stringify(vote.signed))
  })
  api.get(`${SIGNATURE_PATH}/:epoch{[0-9]{1,10}}/:round{[0-9]}`, (context) => {
    const { epoch, round } = context.req.param()
    const signatures = authority.signaturesOf(Number(epoch), Number(round))
    if (signatures === undefined) return context.text('there is no such round', 404)
    return json(context, JSON.stringify(signatures))
  })

  let reading = 0
  const post = (path: string, maxBytes: number, receive: (bytes: Uint8Array) => boolean) =>
    api.post(path, async (context) => {
      if (reading >= MOST_BODIES || authority.isPestered) {
        metrics
          .counter('mixwright_consensus_refused_total', 'Votes, signatures and documents that were not taken', {
            what: 'body',
            reason: 'busy',
          })
          .increment()
        return context.text('busy', 503)
      }
      reading++
      try {
        const bytes = await readBody(context.req.raw, maxBytes, clock)
        if (bytes === undefined) return context.text('too long, or too slow', 400)
        return receive(bytes) ? json(context, 'null') : context.text('refused', 400)
      } finally {
        reading--
      }
    })
  post(VOTE_PATH, MAX_DOCUMENT_BYTES, (bytes) => authority.receiveVote(bytes))
  post(SIGNATURE_PATH, MAX_SIGNATURE_BYTES, (bytes) => authority.receiveSignature(bytes))
  return api
}

function json(context: Context, text: string): Response {
  return context.body(text, 200, { 'content-type': 'application/json' })
}
