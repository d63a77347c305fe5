import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { it } from 'node:test'
import { VirtualClock } from '@mixwright/runtime'
import { encodeMixPacket } from '@mixwright/wire'
import { newIdentity } from './gateway-client.js'
import { crypto, Fixture, LOOPBACK, mixPacket, until } from './gateway-fixture.js'

const COUNT = 5_000
const UPGRADE = [
  'GET / HTTP/1.1',
  'host: gateway',
  'connection: upgrade',
  'upgrade: websocket',
  'sec-websocket-version: 13',
  'sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==',
  '\r\n',
].join('\r\n')

it('5 000 idle websockets stand beside an honest client, and go when they never say who they are', async () => {
  const clock = new VirtualClock()
  await using fixture = await Fixture.open({ clock, limits: { connectionsPerAddress: COUNT + 10 } })
  const sockets: Socket[] = []
  let upgraded = 0
  let ended = 0
  for (let i = 0; i < COUNT; i++) {
    const socket = connect({ host: LOOPBACK, port: fixture.gateway.websocketPort })
    socket.on('error', () => {})
    socket.once('data', () => upgraded++)
    socket.once('close', () => ended++)
    socket.write(UPGRADE)
    sockets.push(socket)
    // No more at once than a server's queue of new connections holds.
    if (i % 200 === 199) await until(() => upgraded + ended === sockets.length)
  }
  assert.equal(upgraded, COUNT)
  const open = () => fixture.metrics.value('nym_node_network_active_ingress_web_socket_connections')
  assert.equal(open(), COUNT)
  const honest = await fixture.connect(newIdentity(crypto))
  assert.equal((await honest.register()).type, 'register')
  assert.equal((await honest.ask(honest.frame(2, encodeMixPacket(mixPacket, 2)))).type, 'send')
  assert.equal(ended, 0)
  while (ended < COUNT) {
    clock.advance(1_000)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await until(() => open() <= 1)
  for (const socket of sockets) socket.destroy()
})
