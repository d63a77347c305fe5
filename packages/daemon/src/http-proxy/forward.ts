/**
 * One request in absolute form, forwarded to its origin over a connection of its own (RFC 9110 §7.6): method, path, headers and
 * body go on as they are, but for what concerns only this hop. Bodies are streamed. No `via` is added: it would tell the origin
 * about us.
 */
import { type ClientRequest, type IncomingMessage, request as openRequest, type ServerResponse } from 'node:http'
import { pipeline } from 'node:stream'
import type { ExitConnection } from '@mixwright/client'
import { ExitSocket } from '../exit-socket.js'
import { reset } from '../parting.js'
import type { DocumentTarget } from './request-target.js'

/** Headers that concern one hop, besides those that `connection` names. */
const HOP_BY_HOP = [
  'connection',
  'expect',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]

/** Resolves when it is over. Rejects when the origin gave no answer; one that breaks off breaks the app's connection. */
export function forward(
  incoming: IncomingMessage,
  response: ServerResponse,
  target: DocumentTarget,
  connection: ExitConnection,
): Promise<void> {
  const exit = new ExitSocket(connection)
  return new Promise<void>((resolve, reject) => {
    let over = false
    const end = (error?: Error | null) => {
      if (over) return
      over = true
      if (error && !response.headersSent) return reject(error)
      // The app must not take a break for the end of a body without a length.
      if (error) reset(incoming.socket)
      resolve()
    }
    exit.on('error', end)
    const outgoing = originRequest(incoming, target, exit)
    outgoing.on('error', end)
    outgoing.once('response', (answer) => {
      try {
        response.sendDate = false
        response.writeHead(answer.statusCode!, answer.statusMessage, endToEnd(answer))
      } catch (error) {
        return end(error as Error)
      }
      pipeline(answer, response, end)
    })
    response.once('close', end)
    incoming.pipe(outgoing)
  }).finally(() => exit.destroy())
}

function originRequest(incoming: IncomingMessage, target: DocumentTarget, exit: ExitSocket): ClientRequest {
  const { 'transfer-encoding': encoding } = incoming.headers
  const headers = ['host', target.authority, ...endToEnd(incoming, 'host'), 'connection', 'close']
  // The body came out of its chunks, and goes into new ones.
  if (encoding !== undefined) headers.push('transfer-encoding', 'chunked')
  return openRequest({
    createConnection: () => exit,
    method: incoming.method!,
    path: target.path,
    headers,
    setHost: false,
  })
}

/** Name and value in turn, as they came. */
function endToEnd({ headers, rawHeaders }: IncomingMessage, ...without: readonly string[]): string[] {
  const named = (headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase())
  const dropped = new Set([...HOP_BY_HOP, ...named, ...without])
  return rawHeaders.filter((_, index) => !dropped.has(rawHeaders[index - (index % 2)]!.toLowerCase()))
}
