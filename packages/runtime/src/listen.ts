/** Binding a TCP server, with the operating system's refusal as a typed error. */
import type { Server } from 'node:net'
import { MixError } from './errors.js'

export interface ListenAddress {
  /** An IP address of this machine. */
  readonly host: string
  /** 0 takes any free port. */
  readonly port: number
}

/** Start `server` listening; resolves with the port bound. Errors: `MIX_PORT_IN_USE`, `MIX_LISTEN_FAILED`, both `local`. */
export function listenOn(server: Server, address: ListenAddress): Promise<number> {
  const { host, port } = address
  return new Promise((resolve, reject) => {
    const onError = (cause: NodeJS.ErrnoException) => reject(refusal(cause, address))
    server.once('error', onError)
    server.listen({ host, port }, () => {
      server.off('error', onError)
      // Errors of a listening server (no free file handle, say) concern one connection: they must not end the process.
      server.on('error', () => {})
      const bound = server.address()
      resolve(typeof bound === 'object' && bound !== null ? bound.port : port)
    })
  })
}

function refusal(cause: NodeJS.ErrnoException, { host, port }: ListenAddress): MixError {
  const details = { kind: 'local', data: { host, port }, cause } as const
  if (cause.code === 'EADDRINUSE') {
    const message = `Port ${port} on ${host} is in use by another program. Choose another one, or 0 for any free port.`
    return new MixError('MIX_PORT_IN_USE', message, details)
  }
  return new MixError('MIX_LISTEN_FAILED', `Cannot listen on ${host}:${port}: ${cause.message}`, details)
}
