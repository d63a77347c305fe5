/** The apps in Python and Go, each over the local websocket of a client on a real network. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, describe, it } from 'node:test'
import { findProgram, skipWithout } from '@mixwright/interop/needed-program'
import { Network } from '@mixwright/localnet'
import { WebSocket } from 'ws'
import { Program } from './program.js'

let net: Network
before(async () => {
  net = await Network.start({ clients: ['python', 'go'] })
})
after(() => net?.close())

for (const { language, program, words } of [
  { language: 'Python', program: 'python3', words: ['examples/websocket-app.py'] },
  { language: 'Go', program: 'go', words: ['run', 'examples/websocket-app/main.go'] },
]) {
  const client = () => net.client(program === 'go' ? 'go' : 'python')
  const app = (...args: string[]) => Program.start([program, ...words, ...args])

  describe(`the app in ${language}`, { skip: skipWithout(program, findProgram(program)) }, () => {
    it('asks for its address, sends to it, answers by reply blocks, and gets the answer', async () => {
      const { stdout, stderr } = await app(client().websocketUrl).succeeds()
      assert.equal(stderr, '')
      assert.equal(stdout, `address: ${client().address}\nreceived: hello from ${language}\nanswer: hello yourself\n`)
    })

    it('explains itself, and says what is wrong', async () => {
      const help = await app('--help').succeeds()
      assert.match(help.stdout + help.stderr, /usage: .*ws:\/\/127\.0\.0\.1:1977/is)

      const complaint = async (url: string) => {
        const { code, stdout, stderr } = await app(url).ends()
        assert.deepEqual([code, stdout], [1, ''])
        // `go run` adds how its child ended.
        const [line = '', ...more] = stderr.trim().split('\n')
        assert.deepEqual(more, program === 'go' ? ['exit status 1'] : [])
        assert.ok(line.startsWith(`${url}: `), line)
        return line
      }
      const other = new WebSocket(client().websocketUrl)
      await once(other, 'open')
      assert.match(await complaint(client().websocketUrl), /no other app\?$/)
      other.terminate()
      assert.match(await complaint(net.nymApiUrl.replace('http:', 'ws:')), /: this is no websocket: HTTP\/1\.1 404/)
    })
  })
}
