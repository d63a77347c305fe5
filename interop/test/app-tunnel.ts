/** Connections of an app through the doors of an exit, by the two ways that apps know: SOCKS5 (RFC 1928) and CONNECT. */
import { once } from 'node:events'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import type { ExitDoors } from './exit-doors.js'

export type AppTunnel = (doors: ExitDoors, host: string, port: number) => Promise<Socket>

/** Greeting and request at once, as an app that is in a hurry. */
const bySocks: AppTunnel = async (doors, host, port) => {
  const socket = connect({ port: doors.socks.port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
  const name = Buffer.from(host)
  socket.write(Buffer.from([5, 1, 0, 5, 1, 0, 3, name.length, ...name, port >> 8, port & 255]))
  let answer = Buffer.alloc(0)
  while (answer.length < 12) {
    await once(socket, 'readable')
    answer = Buffer.concat([answer, (socket.read() as Buffer | null) ?? Buffer.alloc(0)])
  }
  if (answer.toString('hex') !== '0500050000017f0000010000') throw new Error(`SOCKS5 answers ${answer.toString('hex')}`)
  return socket
}

const byConnect: AppTunnel = async (doors, host, port) => {
  const asking = request({ method: 'CONNECT', host: '127.0.0.1', port: doors.http.port, path: `${host}:${port}` }).end()
  const [answer, socket] = (await once(asking, 'connect')) as [{ statusCode: number }, Socket]
  if (answer.statusCode !== 200) throw new Error(`CONNECT answers ${answer.statusCode}`)
  return socket
}

export const APP_TUNNELS: readonly (readonly [string, AppTunnel])[] = [
  ['SOCKS5', bySocks],
  ['CONNECT', byConnect],
]
