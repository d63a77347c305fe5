/**
 * An app's socket and a connection through the exit, joined until both directions have ended. Each direction ends by itself
 * (half close), waits for the slower side, and keeps no more than the streams' high-water marks. When one side fails the other
 * is reset, so that nobody takes a cut for an end.
 */
import type { Socket } from 'node:net'
import type { ExitConnection } from '@mixwright/client'
import { ExitSocket } from './exit-socket.js'
import { reset } from './parting.js'

/** `app` allows half-open; what it has unread goes first. Resolves when it is over, with why when it is not in order. */
export function pipeSocket(app: Socket, connection: ExitConnection): Promise<Error | undefined> {
  const exit = new ExitSocket(connection)
  return new Promise((resolve) => {
    exit.once('error', (error) => {
      reset(app)
      resolve(error)
    })
    exit.once('close', () => resolve(undefined))
    app.once('close', () => {
      // In order, the exit may still have to be told what the app said last.
      if (!app.readableEnded || !app.writableFinished) exit.destroy(new Error('the app hung up'))
    })
    app.pipe(exit).pipe(app)
    if (app.destroyed) exit.destroy()
  })
}
