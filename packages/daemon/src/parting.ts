/** The two ways in which a door parts with an app: after a last word, or by a reset, when what the app has is not whole. */
import type { Socket } from 'node:net'
import type { DoorSettings } from './app-door.js'

/**
 * Nothing more is said. The app closes when it has read the answer; what it still sends is thrown away, because closing on unread
 * bytes would reset the connection and take the answer with it.
 */
export function dismiss(app: Socket, { clock, handshakeTimeoutMs }: DoorSettings): void {
  app.end()
  app.resume()
  const timer = clock.setTimer(handshakeTimeoutMs, () => app.destroy(), { background: true })
  app.once('close', () => timer.cancel())
}

/**
 * The connection broke: the app must not take that for an end. Where its end has been said already, what the app gets is whole,
 * and it gets it.
 */
export function reset(app: Socket): void {
  if (app.writableEnded) app.destroySoon()
  else app.resetAndDestroy()
}
