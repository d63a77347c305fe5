/**
 * An HTTP proxy on this machine to an exit of the mixnet: tunnels (CONNECT) and documents by their whole URL. A beginning of
 * 06-service-providers §10: apps that know no SOCKS, and the reason in words when there is no connection. Parsing is that
 * of `node:http`.
 */
import { createServer, type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { MixError } from '@mixwright/runtime'
import {
  AppDoor,
  type AppDoorOptions,
  AppLeft,
  bindDoor,
  connectThroughExit,
  type DoorSettings,
  doorSettings,
  watchForLeaving,
} from '../app-door.js'
import { exitAnswer } from '../exit-answers.js'
import { dismiss, reset } from '../parting.js'
import { pipeSocket } from '../socket-pipe.js'
import { forward } from './forward.js'
import { credentialsKey, documentTarget, tunnelTarget } from './request-target.js'

export type HttpProxyOptions = AppDoorOptions

export class HttpProxy extends AppDoor {
  /** Errors: `MIX_PORT_IN_USE`, `MIX_LISTEN_FAILED`. */
  static async listen(options: HttpProxyOptions): Promise<HttpProxy> {
    const settings = doorSettings(options, 8118)
    const { handshakeTimeoutMs } = settings
    const server = createServer({
      noDelay: true,
      headersTimeout: handshakeTimeoutMs,
      connectionsCheckingInterval: Math.min(handshakeTimeoutMs, 1_000),
      // An upload takes as long as it takes.
      requestTimeout: 0,
    })
    server.on('connect', (request, app: Socket, head) => void tunnel(request, app, head, settings))
    server.on('request', (request, response) => void serveDocument(request, response, settings))
    return new HttpProxy(await bindDoor(server, 'http', settings))
  }
}

const TUNNEL_TARGET = 'A tunnel goes to a host and a port, such as CONNECT example.org:443.\n'
const DOCUMENT_TARGET = 'This is a proxy for http:// URLs and for tunnels. It serves no pages of its own.\n'
const ESTABLISHED = 'HTTP/1.1 200 Connection established\r\n\r\n'

/** Never rejects. */
async function tunnel(request: IncomingMessage, app: Socket, head: Buffer, settings: DoorSettings): Promise<void> {
  const { eager, logger } = settings
  const target = tunnelTarget(request.url ?? '')
  if (target === undefined) return refuseTunnel(app, 400, TUNNEL_TARGET, settings)
  if (head.length > 0) app.unshift(head)
  if (eager) app.write(ESTABLISHED)
  const watch = watchForLeaving(app)
  try {
    const isolation = credentialsKey(request.headers['proxy-authorization'])
    const connection = await connectThroughExit(settings, { target, isolation }, watch.signal)
    watch.stop()
    if (!eager) app.write(ESTABLISHED)
    const failure = await pipeSocket(app, connection)
    if (failure) logger.debug({ reason: failure.message }, 'a connection broke')
  } catch (error) {
    watch.stop()
    if (error instanceof AppLeft) return void app.destroy()
    if (eager) return reset(app)
    refuseTunnel(app, exitAnswer(error).http, told(error, settings), settings)
  }
}

/** The app closes when it has read the answer; what it still sends is thrown away, see `dismiss`. */
function refuseTunnel(app: Socket, status: number, text: string, settings: DoorSettings): void {
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'content-type: text/plain; charset=utf-8',
    `content-length: ${Buffer.byteLength(text)}`,
    'connection: close',
  ]
  app.write(`${head.join('\r\n')}\r\n\r\n${text}`)
  dismiss(app, settings)
}

/** Never rejects. */
async function serveDocument(
  request: IncomingMessage,
  response: ServerResponse,
  settings: DoorSettings,
): Promise<void> {
  const target = documentTarget(request.url ?? '')
  if (target === undefined) return answer(response, 400, DOCUMENT_TARGET)
  const leaving = new AbortController()
  response.once('close', () => leaving.abort(new AppLeft('the app hung up')))
  try {
    const isolation = credentialsKey(request.headers['proxy-authorization'])
    const connection = await connectThroughExit(settings, { target, isolation }, leaving.signal)
    await forward(request, response, target, connection)
  } catch (error) {
    if (error instanceof AppLeft) return
    answer(response, exitAnswer(error).http, told(error, settings))
  }
}

function answer(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(text)
}

/** For the app, the code first; and logged. */
function told(error: unknown, { logger }: DoorSettings): string {
  if (error instanceof MixError) {
    logger.info({ code: error.code }, 'the exit did not connect')
    return `${error.code}: ${error.message}\n`
  }
  const { message } = error as Error
  logger.info({ reason: message }, 'there is no answer for an app')
  return `No answer in HTTP: ${message}\n`
}
