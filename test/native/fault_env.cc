#include "fault_env.h"

#include <algorithm>
#include <thread>

#include "core/error.h"

namespace zo2::test {
namespace {

constexpr uint64_t kSectorBytes = 512;

std::string directory_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

void flip_bit(char* bytes, size_t n, uint64_t random) {
  if (n == 0) return;
  const uint64_t bit = random % (8 * n);
  bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
}

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw Error(ErrorCode::kIo, path + ": " + what);
}

}  // namespace

const char* fault_name(Fault fault) {
  switch (fault) {
    case Fault::kNone: return "none";
    case Fault::kNoSpace: return "no space";
    case Fault::kError: return "I/O error";
    case Fault::kKill: return "kill";
    case Fault::kPowerLoss: return "power loss";
    case Fault::kShortRead: return "short read";
    case Fault::kFlip: return "flipped bit";
  }
  return "";
}

class MemoryFile final : public RandomAccessFile,
                         public AppendFile,
                         public PlacedFile,
                         public DirectFile {
 public:
  MemoryFile(FaultEnv& env, std::string path, std::shared_ptr<FaultEnv::Inode> inode,
             bool direct = false)
      : env_(env), path_(std::move(path)), inode_(std::move(inode)), direct_(direct) {}

  uint64_t size() const override {
    const std::lock_guard lock(env_.mutex_);
    return inode_->bytes.size();
  }
  const std::string& path() const override { return path_; }
  void read(uint64_t offset, void* out, size_t n) const override {
    if (direct_) check_direct(path_, offset, out, n);
    const std::lock_guard lock(env_.mutex_);
    env_.read(path_, *inode_, offset, out, n);
  }
  void append(const void* data, size_t n) override {
    const std::lock_guard lock(env_.mutex_);
    env_.write(path_, *inode_, inode_->bytes.size(), data, n);
  }
  void write(uint64_t offset, const void* data, size_t n) override {
    if (direct_) check_direct(path_, offset, data, n);
    const std::lock_guard lock(env_.mutex_);
    env_.write(path_, *inode_, offset, data, n);
  }
  void sync() override {
    std::this_thread::sleep_for(env_.sync_time(path_));
    const std::lock_guard lock(env_.mutex_);
    env_.sync(path_, *inode_, direct_);
  }
  bool direct() const override { return direct_; }
  void allocate(uint64_t bytes) override {
    if (direct_) check_direct(path_, 0, nullptr, bytes);
    const std::lock_guard lock(env_.mutex_);
    if (inode_->bytes.size() >= bytes) return;
    if (env_.strike(path_) != Fault::kNone) fail(path_, "allocation: No space left on device");
    env_.change(*inode_, {bytes, "", true});
  }

 private:
  FaultEnv& env_;
  std::string path_;
  std::shared_ptr<FaultEnv::Inode> inode_;
  bool direct_;
};

class MemoryLock final : public FileLock {
 public:
  MemoryLock(FaultEnv& env, std::string path) : env_(env), path_(std::move(path)) {}
  ~MemoryLock() override {
    const std::lock_guard lock(env_.mutex_);
    env_.locks_.erase(path_);
  }

 private:
  FaultEnv& env_;
  std::string path_;
};

void FaultEnv::refuse_the_dead(const std::string& path) const {
  if (dead_ && path.starts_with(root_)) fail(path, "the process is dead");
}

bool FaultEnv::counts(Operation operation) const {
  switch (fault_) {
    case Fault::kError: return true;
    case Fault::kShortRead: return operation == Operation::kRead;
    case Fault::kFlip: return operation != Operation::kOther;
    default: return operation != Operation::kRead;
  }
}

Fault FaultEnv::strike(const std::string& path, Operation operation) {
  if (!path.starts_with(root_)) return Fault::kNone;
  refuse_the_dead(path);
  if (!counts(operation)) return Fault::kNone;
  ++operations_;
  if (full_) return Fault::kNoSpace;
  if (fault_ == Fault::kNone || countdown_ == 0 || --countdown_ > 0) return Fault::kNone;
  if (fault_ == Fault::kKill || fault_ == Fault::kPowerLoss) dead_ = true;
  if (fault_ == Fault::kNoSpace) full_ = true;
  return fault_;
}

void FaultEnv::apply(const Change& change, std::string& bytes) {
  if (change.resize) {
    bytes.resize(change.offset);
    return;
  }
  if (bytes.size() < change.offset + change.data.size())
    bytes.resize(change.offset + change.data.size());
  bytes.replace(change.offset, change.data.size(), change.data);
}

// What of unsynced changes reaches the disk: all, or any subset of sectors and sizes.
void FaultEnv::settle(Inode& inode, bool all) {
  const unsigned share = random_() % 4;  // 0: nothing, 3: everything
  const auto survives = [&] { return all || share == 3 || (share > 0 && random_() % 3 < share); };
  for (const Change& change : inode.unsynced) {
    if (change.resize) {
      if (survives()) apply(change, inode.durable);
      continue;
    }
    for (uint64_t at = 0; at < change.data.size();) {
      const uint64_t sector_end = (change.offset + at) / kSectorBytes * kSectorBytes + kSectorBytes;
      const uint64_t n =
          std::min<uint64_t>(change.data.size() - at, sector_end - change.offset - at);
      if (survives()) apply({change.offset + at, change.data.substr(at, n), false}, inode.durable);
      at += n;
    }
  }
  inode.unsynced.clear();
}

void FaultEnv::change(Inode& inode, Change change) {
  apply(change, inode.bytes);
  inode.unsynced.push_back(std::move(change));
}

void FaultEnv::write(const std::string& path, Inode& inode, uint64_t offset, const void* data,
                     size_t n) {
  const Fault fault = strike(path, Operation::kWrite);
  std::string bytes(static_cast<const char*>(data), n);
  if (fault == Fault::kFlip) {
    flip_bit(bytes.data(), n, random_());
  } else if (fault != Fault::kNone && n > 0) {
    bytes.resize(random_() % n);
  }
  if (!bytes.empty()) change(inode, {offset, std::move(bytes), false});
  if (fault == Fault::kNone || fault == Fault::kFlip) return;
  fail(path,
       fault == Fault::kNoSpace ? "write: No space left on device" : "write: Input/output error");
}

void FaultEnv::read(const std::string& path, const Inode& inode, uint64_t offset, void* out,
                    size_t n) {
  const Fault fault = strike(path, Operation::kRead);
  if (fault == Fault::kError) fail(path, "read: Input/output error");
  if (offset > inode.bytes.size() || n > inode.bytes.size() - offset)
    fail(path, "read: ends after the file");
  auto* bytes = static_cast<char*>(out);
  std::copy_n(inode.bytes.data() + offset, fault == Fault::kShortRead ? n / 2 : n, bytes);
  if (fault == Fault::kShortRead) fail(path, "read: the file ends before");
  if (fault == Fault::kFlip) flip_bit(bytes, n, random_());
}

void FaultEnv::sync(const std::string& path, Inode& inode, bool direct) {
  const Fault fault = strike(path);
  if (fault == Fault::kNone || fault == Fault::kNoSpace) {
    settle(inode, true);
    return;
  }
  // After a failed sync the system takes its pages for clean: what was lost stays lost, and where
  // there are no pages it is seen.
  if (fault == Fault::kError) {
    settle(inode, false);
    if (direct) inode.bytes = inode.durable;
  }
  fail(path, "sync: Input/output error");
}

std::shared_ptr<FaultEnv::Inode> FaultEnv::find(const std::string& path,
                                                const char* operation) const {
  refuse_the_dead(path);
  const auto found = files_.find(path);
  if (found == files_.end()) fail(path, std::string(operation) + ": No such file or directory");
  return found->second;
}

std::shared_ptr<FaultEnv::Inode> FaultEnv::open(const std::string& path, bool empty) {
  refuse_the_dead(path);
  if (!directories_.contains(directory_of(path))) fail(path, "open: No such file or directory");
  auto& inode = files_[path];
  if (!inode) {
    const Fault fault = strike(path);
    if (fault != Fault::kNone) {
      files_.erase(path);
      fail(path, "open for writing: refused");
    }
    inode = std::make_shared<Inode>();
    unsynced_[directory_of(path)].push_back({{path, inode}});
  } else if (empty && !inode->bytes.empty()) {
    change(*inode, {0, "", true});
  }
  return inode;
}

std::unique_ptr<RandomAccessFile> FaultEnv::open_random_access(const std::string& path, PageCache) {
  const std::lock_guard lock(mutex_);
  return std::make_unique<MemoryFile>(*this, path, find(path, "open for reading"));
}

std::unique_ptr<AppendFile> FaultEnv::open_append(const std::string& path) {
  const std::lock_guard lock(mutex_);
  return std::make_unique<MemoryFile>(*this, path, open(path, false));
}

std::unique_ptr<AppendFile> FaultEnv::create(const std::string& path) {
  const std::lock_guard lock(mutex_);
  return std::make_unique<MemoryFile>(*this, path, open(path, true));
}

std::unique_ptr<PlacedFile> FaultEnv::open_placed(const std::string& path) {
  const std::lock_guard lock(mutex_);
  return std::make_unique<MemoryFile>(*this, path, open(path, false));
}

std::unique_ptr<DirectFile> FaultEnv::open_direct(const std::string& path, FileAccess access) {
  const std::lock_guard lock(mutex_);
  return std::make_unique<MemoryFile>(
      *this, path, access == FileAccess::kRead ? find(path, "open for reading") : open(path, false),
      true);
}

void FaultEnv::truncate(const std::string& path, uint64_t size) {
  const std::lock_guard lock(mutex_);
  const auto inode = find(path, "truncate");
  if (strike(path) != Fault::kNone) fail(path, "truncate: Input/output error");
  change(*inode, {size, "", true});
}

bool FaultEnv::exists(const std::string& path) {
  const std::lock_guard lock(mutex_);
  refuse_the_dead(path);
  return files_.contains(path) || directories_.contains(path);
}

// Durable at once: a lost directory is no other case than a lost file in it.
void FaultEnv::create_directories(const std::string& path) {
  const std::lock_guard lock(mutex_);
  refuse_the_dead(path);
  for (size_t end = path.find('/', 1); end != path.npos; end = path.find('/', end + 1))
    directories_.insert(path.substr(0, end));
  directories_.insert(path);
}

void FaultEnv::remove(const std::string& path) {
  const std::lock_guard lock(mutex_);
  find(path, "remove");
  if (strike(path) == Fault::kError) fail(path, "remove: Input/output error");
  refuse_the_dead(path);
  files_.erase(path);
  unsynced_[directory_of(path)].push_back({{path, nullptr}});
}

std::vector<std::string> FaultEnv::list(const std::string& path) {
  std::vector<std::string> names;
  for (const std::string& file : files(path)) names.push_back(file.substr(path.size() + 1));
  return names;
}

std::vector<std::string> FaultEnv::files(const std::string& directory) const {
  const std::lock_guard lock(mutex_);
  refuse_the_dead(directory);
  std::vector<std::string> paths;
  for (const auto& [path, inode] : files_)
    if (directory_of(path) == directory) paths.push_back(path);
  return paths;
}

void FaultEnv::rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  const auto inode = find(from, "rename");
  const Fault fault = strike(from);
  if (fault == Fault::kError) fail(from, "rename to " + to + ": Input/output error");
  refuse_the_dead(from);
  files_.erase(from);
  files_[to] = inode;
  unsynced_[directory_of(to)].push_back({{to, inode}, {from, nullptr}});
}

void FaultEnv::sync_directory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (strike(path + "/") == Fault::kError) fail(path, "sync: Input/output error");
  refuse_the_dead(path + "/");
  for (const auto& operation : unsynced_[path])
    for (const Entry& entry : operation) {
      if (entry.inode)
        durable_[entry.path] = entry.inode;
      else
        durable_.erase(entry.path);
    }
  unsynced_.erase(path);
}

std::unique_ptr<FileLock> FaultEnv::lock(const std::string& path) {
  const std::lock_guard lock(mutex_);
  refuse_the_dead(path);
  if (!locks_.insert(path).second)
    throw Error(ErrorCode::kRunLocked, path + ": another process is using the run directory");
  return std::make_unique<MemoryLock>(*this, path);
}

void FaultEnv::arm(const std::string& root, Fault fault, uint64_t n) {
  const std::lock_guard lock(mutex_);
  root_ = root;
  fault_ = fault;
  countdown_ = n;
  operations_ = 0;
  dead_ = full_ = false;
}

void FaultEnv::slow_syncs(const std::string& path, std::chrono::milliseconds time) {
  const std::lock_guard lock(mutex_);
  slow_path_ = path;
  sync_time_ = time;
}

std::chrono::milliseconds FaultEnv::sync_time(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  return path == slow_path_ ? sync_time_ : std::chrono::milliseconds(0);
}

void FaultEnv::disarm() { arm("/", Fault::kNone, 0); }

// Operations on a directory survive in order, up to any of them; on its files in any subset.
void FaultEnv::crash() {
  const std::lock_guard lock(mutex_);
  for (auto& [directory, operations] : unsynced_) {
    const size_t survive = random_() % (operations.size() + 1);
    for (size_t i = 0; i < survive; ++i)
      for (const Entry& entry : operations[i]) {
        if (entry.inode)
          durable_[entry.path] = entry.inode;
        else
          durable_.erase(entry.path);
      }
  }
  unsynced_.clear();
  files_ = durable_;
  std::set<Inode*> seen;
  for (auto& [path, inode] : files_) {
    if (!seen.insert(inode.get()).second) continue;
    settle(*inode, false);
    inode->bytes = inode->durable;
  }
}

bool FaultEnv::flip(const std::string& path, uint64_t bit) {
  const std::lock_guard lock(mutex_);
  const auto inode = files_.at(path);
  if (inode->bytes.empty()) return false;
  flip_bit(inode->bytes.data(), inode->bytes.size(), bit);
  const size_t at = bit % (8 * inode->bytes.size()) / 8;
  if (at < inode->durable.size()) inode->durable[at] = inode->bytes[at];
  return true;
}

void FaultEnv::make_durable() {
  const std::lock_guard lock(mutex_);
  for (auto& [path, inode] : files_) settle(*inode, true);
  durable_ = files_;
  unsynced_.clear();
}

}  // namespace zo2::test
