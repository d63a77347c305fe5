/**
 * A SOCKS door on this machine to an exit of the mixnet: SOCKS5, SOCKS4 and SOCKS4a (06-service-providers §2.7). What apps say
 * is read by `handshake.ts`.
 *
 * Differences from the official local proxy, all for the better: success is said when the exit has connected, and why it could
 * not is said by the code; replies have their full length; name and password keep streams apart; a half-closed connection
 * goes on.
 */
import { createServer, type Socket } from 'node:net'
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
import { SocksHandshake, type SocksRefusal, type SocksRequest } from './handshake.js'
import { SOCKS5_REPLIES, socksReply } from './replies.js'

export type Socks5ProxyOptions = AppDoorOptions

export class Socks5Proxy extends AppDoor {
  /** Errors: `MIX_PORT_IN_USE`, `MIX_LISTEN_FAILED`. */
  static async listen(options: Socks5ProxyOptions): Promise<Socks5Proxy> {
    const settings = doorSettings(options, 1080)
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (app) => void serve(app, settings))
    return new Socks5Proxy(await bindDoor(server, 'socks5h', settings))
  }
}

/** One app, to the end. Never rejects. */
async function serve(app: Socket, settings: DoorSettings): Promise<void> {
  const { logger } = settings
  const outcome = await readHandshake(app, settings)
  if (outcome === undefined) return void app.destroy()
  if (outcome.kind === 'refused') {
    logger.warn({ reason: outcome.reason }, REFUSALS[outcome.reason])
    return dismiss(app, settings)
  }
  const { version } = outcome
  if (settings.eager) app.write(socksReply(version, SOCKS5_REPLIES.succeeded))
  const watch = watchForLeaving(app)
  try {
    const connection = await connectThroughExit(settings, outcome, watch.signal)
    watch.stop()
    if (!settings.eager) app.write(socksReply(version, SOCKS5_REPLIES.succeeded))
    const failure = await pipeSocket(app, connection)
    if (failure) logger.debug({ reason: failure.message }, 'a connection broke')
  } catch (error) {
    watch.stop()
    if (error instanceof AppLeft) return void app.destroy()
    const told = error instanceof MixError ? { code: error.code } : { reason: (error as Error).message }
    logger.info(told, 'the exit did not connect')
    if (settings.eager) return reset(app)
    app.write(socksReply(version, exitAnswer(error).socks5))
    dismiss(app, settings)
  }
}

/** Undefined when the app left, or took too long. Sends the answers on the way, and leaves unread what came behind. */
function readHandshake(
  app: Socket,
  { clock, handshakeTimeoutMs, logger }: DoorSettings,
): Promise<SocksRequest | SocksRefusal | undefined> {
  const handshake = new SocksHandshake()
  return new Promise((resolve) => {
    const settle = (outcome: SocksRequest | SocksRefusal | undefined) => {
      timer.cancel()
      app.off('readable', read).off('end', leave).off('close', leave)
      resolve(outcome)
    }
    const leave = () => settle(undefined)
    const timer = clock.setTimer(handshakeTimeoutMs, () => {
      logger.info({ handshakeTimeoutMs }, 'an app did not say in time what it wants')
      leave()
    })
    const read = () => {
      const bytes: Buffer | null = app.read()
      if (bytes === null) return
      const { answer, outcome } = handshake.push(bytes)
      if (answer.length > 0) app.write(answer)
      if (outcome === undefined) return
      // In this very turn: a turn later the stream may have ended, and takes nothing back.
      if (outcome.kind === 'connect' && outcome.rest.length > 0) app.unshift(outcome.rest)
      settle(outcome)
    }
    app.on('readable', read).once('end', leave).once('close', leave)
  })
}

const REFUSALS: Readonly<Record<SocksRefusal['reason'], string>> = {
  'not-socks':
    'an app does not speak SOCKS here: give it socks5h:// with this address as its proxy, or the address of the HTTP proxy',
  'no-method': 'an app wants to log in by a method that is not known here: take none, or name and password',
  command: 'an app asks for more than outgoing TCP connections, which is all that SOCKS does here',
  'address-type': 'an app names its target in a way that SOCKS does not know',
  malformed: 'an app sends what is no SOCKS request',
}
