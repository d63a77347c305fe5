/** Places on this machine for a requester to connect to. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'

export interface Destination {
  /** `127.0.0.1:port`. */
  readonly remote: string
  readonly port: number
  readonly sockets: Socket[]
  /** The next socket that connects. */
  socket(): Promise<Socket>
  close(): Promise<void>
}

/** Listens until closed; half-open connections are allowed. */
export async function listenTcp(onSocket: (socket: Socket) => void = () => {}): Promise<Destination> {
  const sockets: Socket[] = []
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    onSocket(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    remote: `127.0.0.1:${port}`,
    port,
    sockets,
    socket: async () => (await once(server, 'connection'))[0] as Socket,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
