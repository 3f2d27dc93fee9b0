// The demo's service: a loop that answers requests of four kinds. One of them leaks.
//
// SessionCache::remember keeps the state of every login for ever: its sessions are only forgotten by
// a logout, and no client of this service ever logs out. Everything else gives back what it takes.

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#define NOINLINE __attribute__((noinline))

struct Request {
    enum Kind { login, search, upload, status } kind;
    std::uint64_t number;
};

// A copy of bytes that came from a client.
class Buffer {
  public:
    NOINLINE Buffer(std::uint64_t seed, std::size_t size) : bytes_(new unsigned char[size]), size_(size) {
        std::memset(bytes_.get(), static_cast<int>(seed & 0xff), size);
    }
    unsigned char checksum() const {
        unsigned char sum = 0;
        for (std::size_t i = 0; i < size_; i++) sum ^= bytes_[i];
        return sum;
    }

  private:
    std::unique_ptr<unsigned char[]> bytes_;
    std::size_t size_;
};

class SessionCache {
  public:
    // The leak: nothing ever calls forget.
    // The state's bytes are allocated by Buffer, so that this function is on the stack of nearly all
    // that it takes even for a walker that loses the direct caller of operator new.
    NOINLINE void remember(std::uint64_t session, std::size_t state) {
        sessions_.emplace(session, std::make_unique<Buffer>(session, state));
    }
    NOINLINE void forget(std::uint64_t session) { sessions_.erase(session); }
    std::size_t size() const { return sessions_.size(); }

  private:
    std::unordered_map<std::uint64_t, std::unique_ptr<Buffer>> sessions_;
};

class Service {
  public:
    NOINLINE unsigned handle(const Request& request) {
        unsigned answer = 0;
        switch (request.kind) {
            case Request::login: answer = handle_login(request.number); break;
            case Request::search: answer = handle_search(request.number); break;
            case Request::upload: answer = handle_upload(request.number); break;
            case Request::status: answer = handle_status(); break;
        }
        served_++;
        return answer;
    }

  private:
    NOINLINE unsigned handle_login(std::uint64_t number) {
        sessions_.remember(number, 4000);
        return static_cast<unsigned>(sessions_.size());
    }

    // Allocates many small things, and frees them all.
    NOINLINE unsigned handle_search(std::uint64_t number) {
        std::vector<std::string> found;
        for (std::uint64_t i = 0; i < 20; i++) {
            found.push_back("result number " + std::to_string(number * 20 + i) + " of the search");
        }
        return static_cast<unsigned>(found.back().size());
    }

    // Allocates one large thing, and replaces the one before: at most one is held.
    NOINLINE unsigned handle_upload(std::uint64_t number) {
        last_upload_ = std::make_unique<Buffer>(number, 64 * 1024);
        return last_upload_->checksum();
    }

    NOINLINE unsigned handle_status() {
        std::string page = "served " + std::to_string(served_) + ", sessions " + std::to_string(sessions_.size());
        page.append(2000, ' ');
        return static_cast<unsigned>(page.size());
    }

    SessionCache sessions_;
    std::unique_ptr<Buffer> last_upload_;
    std::uint64_t served_ = 0;
};

int main() {
    // Fewer than 1,000 requests a second. Ends by itself, should nobody stop it.
    alarm(300);
    Service service;
    unsigned answers = 0;
    for (std::uint64_t number = 0;; number++) {
        answers ^= service.handle({static_cast<Request::Kind>(number % 4), number});
        if (number == 0) {
            std::puts("ready");
            std::fflush(stdout);
        }
        if (number % 10 == 9) std::this_thread::sleep_for(std::chrono::milliseconds(10));
        if (answers == 0xffffffff) return 1;  // the answers are used
    }
}
