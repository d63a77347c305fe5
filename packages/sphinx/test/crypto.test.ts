/**
 * The crypto providers against published vectors (RFC 7748, 8032, 4231, 5869, 8439) and against node:crypto and each
 * other on random input, and the choice between them. Keyed BLAKE2b is held by the LIONESS vectors.
 */
import assert from 'node:assert/strict'
import { createCipheriv, createHash, createHmac, hkdfSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { fromHex, MixError, SeededRandom, toHex, utf8 } from '@mixwright/runtime'
import { HOP_KEYS, PAYLOAD_KEY } from '../src/crypto/kdf-labels.js'
import { KdfSha256 } from '../src/crypto/kdf-sha256.js'
import * as plain from '../src/crypto/kdf-sha256.wasm.js'
import * as simd from '../src/crypto/kdf-sha256-simd.wasm.js'
import { type CryptoProviderName, loadCryptoProvider } from '../src/index.js'
import { LOW_ORDER_POINTS, PROVIDER_NAMES, providers } from './vectors.js'

const RFC_4231 = [
  {
    key: '0b'.repeat(20),
    message: toHex(utf8('Hi There')),
    mac: 'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7',
  },
  {
    key: toHex(utf8('Jefe')),
    message: toHex(utf8('what do ya want for nothing?')),
    mac: '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  },
  {
    key: 'aa'.repeat(20),
    message: 'dd'.repeat(50),
    mac: '773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe',
  },
  {
    key: '0102030405060708090a0b0c0d0e0f10111213141516171819',
    message: 'cd'.repeat(50),
    mac: '82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b',
  },
]

/** RFC 5869 A.1 and A.3 (A.2's inputs are longer than Sphinx ever needs). */
const RFC_5869 = [
  {
    salt: '000102030405060708090a0b0c',
    info: 'f0f1f2f3f4f5f6f7f8f9',
    output: '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865',
  },
  {
    salt: '',
    info: '',
    output: '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8',
  },
]

const code = (expected: string) => (error: unknown) => error instanceof MixError && error.code === expected
const all = await providers()
const oracle = all.find(({ name }) => name === 'noble')!

for (const crypto of all)
  describe(`crypto provider ${crypto.name}`, () => {
    const random = new SeededRandom(`provider ${crypto.name}`)

    it('X25519, RFC 7748 §5.2', () => {
      const scalar = fromHex('a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4')
      const point = fromHex('e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c')
      const product = crypto.x25519(scalar, point)
      assert.equal(toHex(product!), 'c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552')
    })

    it('X25519 ignores the top bit of a point and gives nothing for low-order points', () => {
      const scalar = random.bytes(32)
      const point = crypto.x25519Base(random.bytes(32))
      const flipped = new Uint8Array(point)
      flipped[31]! ^= 0x80
      assert.deepEqual(crypto.x25519(scalar, flipped), crypto.x25519(scalar, point))
      for (const low of LOW_ORDER_POINTS) assert.equal(crypto.x25519(scalar, fromHex(low)), undefined)
    })

    it('Ed25519, RFC 8032 §7.1 test 1', () => {
      const seed = fromHex('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60')
      const publicKey = crypto.ed25519PublicKey(seed)
      assert.equal(toHex(publicKey), 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a')
      const signature = crypto.ed25519Sign(new Uint8Array(0), seed)
      assert.equal(
        toHex(signature),
        'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
      )
      assert.equal(crypto.ed25519Verify(signature, new Uint8Array(0), publicKey), true)
      assert.equal(crypto.ed25519Verify(signature, Uint8Array.of(1), publicKey), false)
    })

    it('Ed25519 verification refuses whatever is malformed, without throwing', () => {
      const seed = random.bytes(32)
      const message = random.bytes(100)
      const signature = crypto.ed25519Sign(message, seed)
      const publicKey = crypto.ed25519PublicKey(seed)
      assert.deepEqual(signature, oracle.ed25519Sign(message, seed))
      for (let i = 0; i < 64; i++) {
        const broken = new Uint8Array(signature)
        broken[i]! ^= 1 << (i % 8)
        assert.equal(crypto.ed25519Verify(broken, message, publicKey), false)
      }
      for (const length of [0, 1, 63, 65])
        assert.equal(crypto.ed25519Verify(new Uint8Array(length), message, publicKey), false)
      for (const length of [0, 31, 33])
        assert.equal(crypto.ed25519Verify(signature, message, new Uint8Array(length)), false)
      assert.equal(crypto.ed25519Verify(signature, message, new Uint8Array(32).fill(0xff)), false)
      assert.equal(crypto.ed25519Verify(new Uint8Array(64), message, new Uint8Array(32)), false)
    })

    it('HMAC-SHA256, RFC 4231', () => {
      for (const { key, message, mac } of RFC_4231)
        assert.equal(toHex(crypto.hmacSha256(fromHex(key), fromHex(message))), mac)
    })

    it('ChaCha20 key stream, RFC 8439 A.1', () => {
      const data = new Uint8Array(64)
      crypto.chacha20Xor(new Uint8Array(32), data)
      assert.equal(
        toHex(data),
        '76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586',
      )
    })

    it('agrees with node:crypto and noble on random input of many lengths', () => {
      for (let i = 0; i < 60; i++) {
        const data = random.bytes(1 + i * 31)
        const [k16, k32, k64] = [random.bytes(16), random.bytes(32), random.bytes(64)] as const
        assert.equal(toHex(crypto.hmacSha256(k16, data)), createHmac('sha256', k16).update(data).digest('hex'))
        assert.equal(toHex(crypto.hmacSha256(k32, data)), createHmac('sha256', k32).update(data).digest('hex'))
        const aes = createCipheriv('aes-128-ctr', k16, new Uint8Array(16)).update(data)
        assert.equal(toHex(crypto.aes128Ctr(k16, data)), aes.toString('hex'))
        const [mine, theirs] = [new Uint8Array(data), new Uint8Array(data)] as const
        crypto.chacha20Xor(k32, mine)
        oracle.chacha20Xor(k32, theirs)
        assert.deepEqual(mine, theirs)
        const [digest, expected] = [new Uint8Array(32), new Uint8Array(32)] as const
        crypto.blake2bKeyed(k64, data, digest)
        oracle.blake2bKeyed(k64, data, expected)
        assert.deepEqual(digest, expected)
        const hopKeys = toHex(new Uint8Array(hkdfSync('sha256', k32, HOP_KEYS.salt, HOP_KEYS.info, 288)))
        for (const length of [288, 256, 224, 48])
          assert.equal(toHex(crypto.hopKeys([k32], length)[0]!), hopKeys.slice(0, 2 * length))
        const payloadKey = hkdfSync('sha256', k16, PAYLOAD_KEY.salt, PAYLOAD_KEY.info, 192)
        assert.equal(toHex(crypto.payloadKeys([k16])[0]!), toHex(new Uint8Array(payloadKey)))
      }
    })

    it('derives and authenticates many as it does each alone', () => {
      for (let count = 0; count < 10; count++) {
        const secrets = Array.from({ length: count }, () => random.bytes(32))
        const seeds = secrets.map((secret) => secret.subarray(0, 16))
        const messages = secrets.map(() => random.bytes(300))
        assert.deepEqual(crypto.hopKeys(secrets, 288), oracle.hopKeys(secrets, 288))
        assert.deepEqual(crypto.payloadKeys(seeds), oracle.payloadKeys(seeds))
        assert.deepEqual(
          crypto.hmacSha256Each(seeds, messages),
          seeds.map((seed, index) => oracle.hmacSha256(seed, messages[index]!)),
        )
      }
    })

    it('X25519 agrees with noble on random scalars and points, on the curve and on its twist', () => {
      for (let i = 0; i < 20; i++) {
        const [scalar, point] = [random.bytes(32), random.bytes(32)] as const
        assert.deepEqual(crypto.x25519(scalar, point), oracle.x25519(scalar, point))
        assert.deepEqual(crypto.x25519Base(scalar), oracle.x25519Base(scalar))
      }
    })

    it('a wrong length is our own mistake and throws', () => {
      const wrong = new Uint8Array(31)
      assert.throws(() => crypto.x25519(wrong, new Uint8Array(32)), code('MIX_CRYPTO_LENGTH'))
      assert.throws(() => crypto.x25519(new Uint8Array(32), wrong), code('MIX_CRYPTO_LENGTH'))
      assert.throws(() => crypto.x25519Base(wrong), code('MIX_CRYPTO_LENGTH'))
      assert.throws(() => crypto.ed25519PublicKey(wrong), code('MIX_CRYPTO_LENGTH'))
      assert.throws(() => crypto.ed25519Sign(wrong, wrong), code('MIX_CRYPTO_LENGTH'))
    })
  })

const MODULES = [
  { name: 'plain', wasm: plain.WASM, sourceSha256: plain.SOURCE_SHA256 },
  { name: 'SIMD', wasm: simd.WASM, sourceSha256: simd.SOURCE_SHA256 },
]
/** As many messages at once as fill all lanes, some of them and none. */
const COUNTS = [1, 2, 3, 4, 5, 7, 8]

for (const { name, wasm, sourceSha256 } of MODULES)
  describe(`the key derivation module, ${name}`, () => {
    const hex = (results: readonly Uint8Array[]) => results.map(toHex)

    it('HKDF-SHA256, RFC 5869', () => {
      for (const { salt, info, output } of RFC_5869) {
        const label = { salt: fromHex(salt), info: fromHex(info), outputBytes: output.length / 2 }
        const kdf = new KdfSha256(wasm, label, label)
        const keyMaterial = new Uint8Array(22).fill(0x0b)
        for (const count of COUNTS)
          assert.deepEqual(
            hex(kdf.hopKeys(Array(count).fill(keyMaterial), output.length / 2)),
            Array(count).fill(output),
          )
      }
    })

    it('HMAC-SHA256, RFC 4231', () => {
      const kdf = new KdfSha256(wasm)
      for (const { key, message, mac } of RFC_4231)
        for (const count of COUNTS) {
          const macs = kdf.hmac(Array(count).fill(fromHex(key)), Array(count).fill(fromHex(message)))
          assert.deepEqual(hex(macs), Array(count).fill(mac))
        }
    })

    it('agrees with node:crypto for salts, infos and key material of every length it takes', () => {
      const random = new SeededRandom('kdf labels')
      for (let infoBytes = 0; infoBytes <= 110; infoBytes++) {
        const label = { salt: random.bytes(infoBytes % 65), info: random.bytes(infoBytes), outputBytes: 288 }
        const kdf = new KdfSha256(wasm, label, { ...label, outputBytes: 192 })
        const keyMaterials = Array.from({ length: 1 + (infoBytes % 6) }, () => random.bytes(infoBytes % 56))
        const expected = keyMaterials.map((keyMaterial) =>
          toHex(new Uint8Array(hkdfSync('sha256', keyMaterial, label.salt, label.info, 288))),
        )
        const first = (bytes: number) => expected.map((text) => text.slice(0, 2 * bytes))
        assert.deepEqual(hex(kdf.hopKeys(keyMaterials, 288)), expected)
        assert.deepEqual(hex(kdf.payloadKeys(keyMaterials)), first(192))
        assert.deepEqual(hex(kdf.hopKeys(keyMaterials, 33)), first(33))
      }
    })

    it('HMAC agrees with node:crypto for every key and message length it takes', () => {
      const random = new SeededRandom('kdf hmac')
      const kdf = new KdfSha256(wasm)
      for (let bytes = 0; bytes <= 1912; bytes += 7) {
        const count = 1 + (bytes % 6)
        const keys = Array.from({ length: count }, () => random.bytes(bytes % 65))
        const messages = keys.map(() => random.bytes(bytes))
        assert.deepEqual(
          hex(kdf.hmac(keys, messages)),
          keys.map((key, index) => createHmac('sha256', key).update(messages[index]!).digest('hex')),
        )
      }
    })

    it('refuses what has no room, and lists of several lengths', () => {
      const kdf = new KdfSha256(wasm)
      const bytes = (...lengths: number[]) => lengths.map((length) => new Uint8Array(length))
      assert.throws(() => kdf.hmac(bytes(65), bytes(1)), code('MIX_CRYPTO_LENGTH'))
      assert.throws(() => kdf.hmac(bytes(1), bytes(1913)), code('MIX_CRYPTO_LENGTH'))
      assert.throws(() => kdf.hmac(bytes(16, 16, 16), bytes(9, 9, 10)), code('MIX_CRYPTO_LENGTH'))
      assert.throws(() => kdf.hmac(bytes(16, 16, 17), bytes(9, 9, 9)), code('MIX_CRYPTO_LENGTH'))
      assert.throws(() => kdf.hopKeys(bytes(56), 288), code('MIX_CRYPTO_LENGTH'))
      assert.throws(() => kdf.hopKeys(bytes(32, 32, 31, 32), 288), code('MIX_CRYPTO_LENGTH'))
    })

    it('was built from the source that lies beside it', () => {
      const source = readFileSync(new URL('../../wasm/kdf-sha256.as', import.meta.url))
      assert.equal(sourceSha256, createHash('sha256').update(source).digest('hex'), 'run node wasm/build.mjs')
    })
  })

describe('choosing a crypto provider', () => {
  const withEnvironment = async (value: string | undefined, action: () => Promise<void>) => {
    const before = process.env.MIXWRIGHT_CRYPTO
    if (value === undefined) delete process.env.MIXWRIGHT_CRYPTO
    else process.env.MIXWRIGHT_CRYPTO = value
    try {
      await action()
    } finally {
      if (before === undefined) delete process.env.MIXWRIGHT_CRYPTO
      else process.env.MIXWRIGHT_CRYPTO = before
    }
  }

  it('each can be forced by name', async () => {
    for (const name of PROVIDER_NAMES) assert.equal((await loadCryptoProvider(name)).name, name)
  })

  it('sodium-native is preferred where it loads', () =>
    withEnvironment(undefined, async () => {
      assert.equal((await loadCryptoProvider()).name, 'sodium-native')
    }))

  it('the environment forces, and an argument overrides it', () =>
    withEnvironment('noble', async () => {
      assert.equal((await loadCryptoProvider()).name, 'noble')
      assert.equal((await loadCryptoProvider('libsodium-wasm')).name, 'libsodium-wasm')
    }))

  it('an unknown name is an error, never another provider', async () => {
    await assert.rejects(loadCryptoProvider('openssl' as CryptoProviderName), code('MIX_CRYPTO_PROVIDER'))
    await withEnvironment('Noble', () => assert.rejects(loadCryptoProvider(), code('MIX_CRYPTO_PROVIDER')))
  })
})
