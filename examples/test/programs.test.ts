/** The examples for Node.js, each as its own process on a real network. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Client, connect } from '@mixwright/client'
import { Network } from '@mixwright/localnet'
import { SeededRandom } from '@mixwright/runtime'
import { Program, REPOSITORY } from './program.js'

const scratch = mkdtempSync(join(tmpdir(), 'mixwright-examples-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

let net: Network
before(async () => {
  net = await Network.start()
})
after(() => net?.close())

/** On the network by NYM_API, as `mixwright exec` names it. */
function start(name: string, ...words: string[]): Program {
  return Program.start([process.execPath, `examples/${name}`, '--profile', 'local', ...words], {
    env: { NYM_API: net.nymApiUrl },
  })
}

const withoutProblems = { code: 0, stderr: '' }
const problems = ({ code, stderr }: { code: number | null; stderr: string }) => ({ code, stderr })

describe('chat-terminal.mjs', () => {
  it('lets the one who knows the address begin, and the other answer without one', async () => {
    await using bob = start('chat-terminal.mjs')
    const [, address = ''] = await bob.prints(/Your address: (\S+)\nWaiting/)
    bob.type('is there anybody?')
    await bob.prints('! Nobody is there yet.')

    await using alice = start('chat-terminal.mjs', address)
    await alice.prints('Say something.')
    alice.type('hello bob')
    await bob.prints('\n> hello bob\n')
    bob.type('hello, whoever you are')
    await alice.prints('> hello, whoever you are\n')
    alice.type('grüße')
    await bob.prints('> grüße\n')
    alice.endInput()
    assert.deepEqual(problems(await alice.ends()), withoutProblems)
    assert.deepEqual(problems(await bob.interrupt()), withoutProblems)
  })

  it('takes an address as a line, and says what was not delivered', async () => {
    await using bob = start('chat-terminal.mjs')
    await using carol = start('chat-terminal.mjs')
    const [, address = ''] = await bob.prints(/Your address: (\S+)/)
    carol.type('looks.like@one')
    carol.type('hello?')
    await carol.prints(/! Not delivered: hello\?: .+ \(MIX_ADDRESS\)\n/)
    carol.type(address)
    carol.type('hello bob')
    await bob.prints('> hello bob\n')
  })
})

describe('anonymous-service.mjs', () => {
  it('is asked by ask-service.mjs, knows guests by their tags alone, and is at the same address after a restart', async () => {
    const store = join(scratch, 'guest-book.sqlite')
    const ask = async (...words: string[]) => (await start('ask-service.mjs', ...words).succeeds()).stdout
    const open = async () => {
      const service = start('anonymous-service.mjs', '--store', store)
      const [, address = ''] = await service.prints(/(\S+@\S+)\n/)
      return { service, address }
    }
    const { service, address } = await open()
    await using _ = service
    const guest = ['--store', join(scratch, 'guest.sqlite')]
    const first = await ask(address, 'I was here', ...guest)
    assert.match(first, /^\w{6} wrote: I was here\n$/)
    const second = await ask(address, 'so was I')
    assert.match(second, /^\w{6} wrote: so was I\n$/m)
    const third = await ask(address, 'again', ...guest)
    const tags = [...third.matchAll(/^(\w{6}) wrote: /gm)].map(([, tag]) => tag)
    assert.equal(tags.length, 3, third)
    assert.equal(tags[0], tags[2])
    assert.notEqual(tags[0], tags[1])
    assert.deepEqual(problems(await service.interrupt()), withoutProblems)

    const again = await open()
    await using __ = again.service
    assert.equal(again.address, address)
    assert.match(await ask(address, 'a new book', ...guest), /^\w{6} wrote: a new book\n$/)
  })

  it('answers with more than the reply blocks of the question carry, and keeps to its bound', async () => {
    await using service = start('anonymous-service.mjs')
    const [, address = ''] = await service.prints(/(\S+@\S+)\n/)
    await using guest = await connect({ directory: net.nymApiUrl, profile: 'local' })
    const answers = guest.messages()
    let book: string[] = []
    for (let i = 0; i <= 100; i++) {
      guest.send(address, `entry ${i} ${'x'.repeat(120)}`, { replySurbs: 5 })
      book = (await answers.next()).value.text().split('\n')
    }
    assert.equal(book.length, 100)
    assert.match(book[0]!, / entry 1 x/)
    assert.match(book[99]!, / entry 100 x/)
  })
})

describe('key-value-service.mjs', () => {
  it('keeps what ask-key-value.mjs puts, over a restart, at the same address', async () => {
    const directory = join(scratch, 'values')
    const ask = async (...words: string[]) => (await start('ask-key-value.mjs', ...words).succeeds()).stdout
    const open = async () => {
      const service = start('key-value-service.mjs', directory)
      const [, address = '', healthUrl = ''] = await service.prints(/(\S+@\S+)\n(http:\S+)\n/)
      return { service, address, healthUrl }
    }
    const { service, address, healthUrl } = await open()
    await using _ = service
    assert.equal(await ask(address, 'colour'), 'there is no such key\n')
    assert.equal(await ask(address, 'colour=blue=sky'), 'kept\n')
    assert.equal(await ask(address, 'colour'), 'blue=sky\n')
    const { status, messages } = (await (await fetch(healthUrl)).json()) as {
      status: string
      messages: { handled: number; failed: number }
    }
    assert.deepEqual([status, messages.handled, messages.failed], ['up', 3, 0])
    assert.deepEqual(problems(await service.interrupt()), withoutProblems)

    const again = await open()
    await using __ = again.service
    assert.equal(again.address, address)
    assert.equal(await ask(address, 'colour'), 'blue=sky\n')
  })

  it('answers what is no request, and keeps to its bounds', async () => {
    await using service = start('key-value-service.mjs', join(scratch, 'bounds'))
    const [, address = ''] = await service.prints(/(\S+@\S+)\n/)
    await using stranger = await connect({ directory: net.nymApiUrl, profile: 'local' })
    const answers = stranger.messages()
    const ask = async (request: string) => {
      stranger.send(address, request, { replySurbs: 5 })
      return JSON.parse((await answers.next()).value.text())
    }
    for (const [request, error] of [
      ['hello', 'no request'],
      ['null', 'no request'],
      ['{}', 'put or get'],
      ['{"put":"a"}', 'put or get'],
      ['{"get":7}', 'put or get'],
      [JSON.stringify({ put: 'a', value: 'x'.repeat(10_000) }), 'too long'],
    ] as const)
      assert.deepEqual(await ask(request), { error })
    assert.deepEqual(await ask('{"put":"__proto__","value":"x"}'), { ok: true })
    assert.deepEqual(await ask('{"get":"__proto__"}'), { value: 'x' })
    assert.deepEqual(await ask('{"get":"constructor"}'), { value: null })
  })
})

describe('docs/examples/service.mjs', () => {
  it('answers messages and streams, and is at the same address when it is started again where it was', async () => {
    const program = fileURLToPath(new URL('docs/examples/service.mjs', REPOSITORY))
    const where = { env: { NYM_API: net.nymApiUrl }, cwd: mkdtempSync(join(scratch, 'service-')) }
    const service = Program.start([process.execPath, program], where)
    await using _ = service
    const [, address = ''] = await service.prints(/(\S+@\S+)\n/)
    await using guest = await connect({ directory: net.nymApiUrl, profile: 'local' })
    guest.send(address, 'hello', { replySurbs: 5 })
    assert.equal((await guest.messages().next()).value.text(), 'you said hello')
    const stream = guest.openStream(address)
    await new Blob(['there ', 'and back']).stream().pipeTo(stream.writable)
    assert.equal(await new Response(stream.readable).text(), 'there and back')
    assert.deepEqual(problems(await service.interrupt()), withoutProblems)
    await using again = Program.start([process.execPath, program], where)
    await again.prints(address)
    assert.deepEqual(problems(await again.interrupt()), withoutProblems)
  })
})

describe('send-file.mjs', () => {
  const receive = async () => {
    const directory = mkdtempSync(join(scratch, 'inbox-'))
    const receiver = start('receive-file.mjs', directory)
    const [, address = ''] = await receiver.prints(/(\S+@\S+)\n/)
    return { directory, receiver, address }
  }
  const file = (name: string, bytes: Uint8Array) => {
    const path = join(scratch, name)
    writeFileSync(path, bytes)
    return path
  }

  for (const [what, bytes] of [
    ['two parts and a bit', 2 * 1024 ** 2 + 17],
    ['an empty file', 0],
  ] as const) {
    it(`sends ${what} to receive-file.mjs, and says how far it is`, async () => {
      const content = new SeededRandom(what).bytes(bytes)
      const { directory, receiver, address } = await receive()
      await using _ = receiver
      await using sender = start('send-file.mjs', address, file('report.bin', content))
      const { stdout, stderr } = await sender.succeeds()
      const received = await receiver.succeeds()
      assert.deepEqual([stderr, received.stderr], ['', ''])
      assert.match(stdout, /\r100 % sent, 100 % acknowledged, \d+ packets sent again\nThe receiver says: complete\n$/)
      for (const what of ['sent', 'acknowledged']) {
        const course = [...stdout.matchAll(new RegExp(`(\\d+) % ${what}`, 'g'))].map(([, percent]) => Number(percent))
        assert.deepEqual(
          course,
          course.toSorted((a, b) => a - b),
        )
      }
      const hash = createHash('sha256').update(content).digest('hex')
      assert.ok(received.stdout.includes(`report.bin: ${bytes} bytes, SHA-256 ${hash}`), received.stdout)
      assert.deepEqual(readdirSync(directory), ['report.bin'])
      assert.ok(Buffer.from(content).equals(readFileSync(join(directory, 'report.bin'))))
    })
  }

  it('is not what strangers can harm the receiver with', async () => {
    const { directory, receiver, address } = await receive()
    await using _ = receiver
    await using stranger: Client = await connect({ directory: net.nymApiUrl, profile: 'local' })
    const content = Buffer.from('where does this go?')
    const facts = {
      name: '../../escaped.txt',
      bytes: content.length,
      sha256: createHash('sha256').update(content).digest('hex'),
      part: 0,
    }
    const part = (changes: Readonly<Record<string, unknown>>, body = content) =>
      Buffer.concat([Buffer.from(`${JSON.stringify({ ...facts, ...changes })}\n`), body])
    for (const message of [
      Buffer.from('hello'),
      Buffer.from('null\n'),
      part({ part: 1 }),
      part({ part: -1 }),
      part({ part: '0' }),
      part({ bytes: 1e15 }),
      part({ bytes: 5 }),
      part({ sha256: 'none' }),
      part({ name: 7 }),
    ])
      await stranger.send(address, message, { replySurbs: 1 }).acknowledged
    // No reply blocks: it could not be answered.
    await stranger.send(address, part({ name: 'other' })).acknowledged
    await stranger.send(address, part({}), { replySurbs: 5 }).acknowledged
    const { stderr } = await receiver.succeeds()
    assert.equal(stderr, '')
    assert.deepEqual(readdirSync(directory), ['escaped.txt'])
    assert.equal(existsSync(join(directory, '../../escaped.txt')), false)
    assert.equal((await stranger.messages().next()).value.text(), 'complete')
  })

  it('says when the file came damaged', async () => {
    const { directory, receiver, address } = await receive()
    await using _ = receiver
    await using stranger = await connect({ directory: net.nymApiUrl, profile: 'local' })
    const facts = { name: 'a', bytes: 3, sha256: '0'.repeat(64), part: 0 }
    stranger.send(address, `${JSON.stringify(facts)}\nabc`, { replySurbs: 5 })
    assert.equal((await stranger.messages().next()).value.text(), 'damaged')
    const { code, stdout } = await receiver.ends()
    assert.equal(code, 1)
    assert.match(stdout, /damaged/)
    assert.deepEqual(readdirSync(directory), [])
  })
})

describe('every program', () => {
  const names = readdirSync(new URL('examples', REPOSITORY))
  const programs = names.filter(
    (name) => name.endsWith('.mjs') && !['command-line.mjs', 'file-part.mjs'].includes(name),
  )

  for (const name of programs) {
    it(`${name} explains itself, and refuses what it does not know`, async () => {
      const { stdout } = await start(name, '--help').succeeds()
      assert.match(stdout, new RegExp(`^Usage: node examples/${name}`))
      assert.match(stdout, /--directory URL .*NYM_API/)
      for (const words of [['--bogus'], ['one', 'two', 'three']]) {
        const { code, stdout, stderr } = await start(name, ...words).ends()
        assert.deepEqual([code, stdout], [2, ''])
        assert.match(stderr, /Usage: /)
      }
    })
  }

  it('stands in the table of README.md', () => {
    const readme = readFileSync(new URL('examples/README.md', REPOSITORY), 'utf8')
    const listed = [...readme.matchAll(/^\| .*?\]\(([^)]+?)\/?\)/gm)].map(([, path]) => path!)
    const others = ['README.md', 'package.json', 'tsconfig.json', 'test', 'dist', 'command-line.mjs', 'file-part.mjs']
    assert.deepEqual(
      listed.map((path) => path.split('/')[0]!).sort(),
      names.filter((name) => !others.includes(name)).sort(),
    )
    for (const path of listed) assert.ok(existsSync(new URL(`examples/${path}`, REPOSITORY)), path)
  })
})
